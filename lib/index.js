'use strict'

const { RiskChecker } = require('./checker.js')
const { riskMiddleware } = require('./express.js')

exports.RiskChecker = RiskChecker
exports.riskMiddleware = riskMiddleware
