// Verifies webhooks with the public library: lines of JSON with secret, headers and body; prints one verdict a line.
const readline = require('node:readline')
const { Webhook } = require('standardwebhooks')

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { secret, headers, body } = JSON.parse(line)
  try {
    const content = new Webhook(secret).verify(body, headers)
    console.log('verified', content.type)
  } catch (error) {
    console.log('refused', error.message)
  }
})
