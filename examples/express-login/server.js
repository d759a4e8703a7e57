'use strict'

// Starts the login app: IPGEO_API_KEY=... node examples/express-login/server.js

const { RiskChecker } = require('ip-risk')
const { createApp, policies } = require('./app.js')

const checker = new RiskChecker({ policies })
const server = createApp(checker).listen(process.env.PORT ?? 3000, (error) => {
  if (error) throw error
  console.log(`listening on port ${server.address().port}`)
})

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    server.close()
    server.closeAllConnections()
    await checker.close()
  })
}
