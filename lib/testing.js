'use strict'

const { CARDS, FAULT_CARDS } = require('./testing/answers.js')
const { MockApi, startMockApi } = require('./testing/mock-api.js')

module.exports = {
  startMockApi,
  MockApi,
  CARDS,
  FAULT_CARDS,
}
