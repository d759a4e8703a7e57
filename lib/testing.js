'use strict'

const { CARDS, FAULT_CARDS } = require('./testing/answers.js')
const { MockApi, startMockApi } = require('./testing/mock-api.js')
const { createTestChecker } = require('./testing/test-checker.js')

exports.createTestChecker = createTestChecker
exports.startMockApi = startMockApi
exports.MockApi = MockApi
exports.CARDS = CARDS
exports.FAULT_CARDS = FAULT_CARDS
