// A certified OpenID Connect provider with accounts in memory. Arguments: the port (0: any), the redirect URI of its client.
// Prints its issuer. A person signs in with any name; what the provider says about them follows from it (`claimsOf`). Each start
// makes another signing key. Ends when its standard input is closed.
const { generateKeyPairSync, randomUUID } = require("node:crypto");
const http = require("node:http");
const { Provider } = require("oidc-provider");

const [port, redirectUri] = process.argv.slice(2);

// `anna+admins+staff@acme`: Anna, who is in two groups and works in the account acme.
function claimsOf(id) {
  const [person, tenant] = id.split("@");
  const [name, ...groups] = person.split("+");
  const claims = { sub: id, name, email: `${name}@example.com`, email_verified: true, groups };
  return tenant === undefined ? claims : { ...claims, tenants: ["nowhere", tenant] };
}

function signingKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "RS256" };
}

const server = http.createServer();
server.listen(Number(port), "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "vimeo-connections",
        client_secret: "a-secret-of-the-test",
        redirect_uris: [redirectUri],
        response_types: ["code"],
        grant_types: ["authorization_code"],
      },
    ],
    claims: { openid: ["sub"], profile: ["name"], email: ["email", "email_verified"], groups: ["groups", "tenants"] },
    scopes: ["openid", "profile", "email", "groups"],
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true } },
    findAccount: (_, id) => ({ accountId: id, claims: () => claimsOf(id) }),
    jwks: { keys: [signingKey()] },
    cookies: { keys: [randomUUID()] },
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
process.stdin.on("end", () => process.exit(0)).resume();
