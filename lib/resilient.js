'use strict'

require('./without-addon.js').tolerate()
const { RiskChecker } = require('./checker.js')
const { riskMiddleware } = require('./express.js')
const { __napiBindingTarget } = require('./native.js')

exports.RiskChecker = RiskChecker
exports.__napiBindingTarget = __napiBindingTarget
exports.riskMiddleware = riskMiddleware
