// The whole life of a Vimeo connection, as a customer's program for Node leads it.
//
// Run it with BASE_URL, API_KEY, VIMEO_CLIENT_IDENTIFIER, VIMEO_CLIENT_SECRET and VIMEO_ACCESS_TOKEN in the environment.

const assert = require('node:assert/strict');
const axios = require('axios');

const API_BASE_URL = process.env.BASE_URL;
const API_KEY = process.env.API_KEY;

const NAME = 'Test Vimeo Connection';

const headers = {
  Authorization: API_KEY,
  'Content-Type': 'application/json',
};

async function createConnection(data) {
  const response = await axios.post(`${API_BASE_URL}/v1/vimeo-connections`, data, { headers });
  assert.equal(response.status, 201);
  return response.data;
}

async function getConnections() {
  const response = await axios.get(`${API_BASE_URL}/v1/vimeo-connections`, { headers });
  return response.data;
}

async function findConnectionByName(name) {
  const { Items } = await getConnections();
  return Items.find((connection) => connection.name === name);
}

async function getConnection(connectionId) {
  const response = await axios.get(`${API_BASE_URL}/v1/vimeo-connections/${connectionId}`, { headers });
  return response.data;
}

async function updateConnection(connectionId, data) {
  const response = await axios.put(`${API_BASE_URL}/v1/vimeo-connections/${connectionId}`, data, { headers });
  return response.data;
}

async function deleteConnection(connectionId) {
  const response = await axios.delete(`${API_BASE_URL}/v1/vimeo-connections/${connectionId}`, { headers });
  return response.status;
}

// The status and the code of a call that must be refused.
async function refusal(call) {
  try {
    await call();
  } catch (error) {
    if (error.response) {
      return [error.response.status, error.response.data.code];
    }
    throw error;
  }
  throw new Error('the call was not refused');
}

async function main() {
  assert.deepEqual(await getConnections(), { Items: [] });
  const connectionData = {
    name: NAME,
    description: 'Testing Vimeo connection via API',
    enabled: true,
    clientIdentifier: process.env.VIMEO_CLIENT_IDENTIFIER,
    clientSecret: process.env.VIMEO_CLIENT_SECRET,
    accessToken: process.env.VIMEO_ACCESS_TOKEN,
  };
  const created = await createConnection(connectionData);
  const { connectionId } = created;
  assert.deepEqual(created, {
    name: NAME,
    description: 'Testing Vimeo connection via API',
    enabled: true,
    clientIdentifier: connectionData.clientIdentifier,
    connectionId,
    version: 1,
  });
  console.log('created');

  assert.deepEqual(await refusal(() => createConnection(connectionData)), [409, 'CONNECTION_NAME_EXISTS']);
  const nameless = { ...connectionData, name: undefined };
  assert.deepEqual(await refusal(() => createConnection(nameless)), [400, 'INVALID_REQUEST_BODY']);
  const wrong = { ...connectionData, name: 'Wrong', clientSecret: 'wrong' };
  assert.deepEqual(await refusal(() => createConnection(wrong)), [422, 'INVALID_VIMEO_CREDENTIALS']);

  const found = await findConnectionByName(NAME);
  assert.equal(found.connectionId, connectionId);
  assert.equal(found.type, 'VIMEO');
  assert.equal(found.createdDate, found.updatedDate);
  assert.ok(!('clientSecret' in found) && !('accessToken' in found));
  assert.deepEqual(await getConnection(connectionId), found);
  console.log('found');

  // What was got is sent back, changed.
  const updated = await updateConnection(connectionId, { ...found, description: 'Updated', enabled: false });
  assert.deepEqual([updated.description, updated.enabled, updated.version], ['Updated', false, 2]);
  assert.equal(updated.name, NAME);
  assert.ok(updated.updatedDate > updated.createdDate);
  const stale = { name: 'Too late', version: 1 };
  assert.deepEqual(await refusal(() => updateConnection(connectionId, stale)), [409, 'VERSION_CONFLICT']);
  assert.deepEqual(await getConnection(connectionId), updated);
  console.log('updated');

  assert.equal(await deleteConnection(connectionId), 204);
  assert.equal(await deleteConnection(connectionId), 204);
  assert.deepEqual(await refusal(() => getConnection(connectionId)), [404, 'CONNECTION_NOT_FOUND']);
  assert.equal(await findConnectionByName(NAME), undefined);
  console.log('deleted');

  headers.Authorization = 'pictai_this-key-is-unknown';
  assert.deepEqual(await refusal(() => getConnections()), [401, 'UNAUTHORIZED']);
  console.log('done');
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
