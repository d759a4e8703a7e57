'use strict'

const { RiskChecker } = require('./checker.js')
const { riskMiddleware } = require('./express.js')
const { __napiBindingTarget } = require('./native.js')

exports.RiskChecker = RiskChecker
// The declarations that the build writes name it too.
exports.__napiBindingTarget = __napiBindingTarget
exports.riskMiddleware = riskMiddleware
