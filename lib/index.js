'use strict'

const { RiskChecker } = require('./checker.js')
const { riskMiddleware } = require('./express.js')
const { __napiBindingTarget, loadFailure } = require('./native.js')

// Tolerated for those who load `ip-risk/resilient`, and for nobody else in the process.
if (loadFailure !== undefined) throw loadFailure

exports.RiskChecker = RiskChecker
// The declarations that the build writes name it too.
exports.__napiBindingTarget = __napiBindingTarget
exports.riskMiddleware = riskMiddleware
