// What npm's targaryen makes of rules and of regular expressions, a line of JSON each way.
//
//   node evaluate.js < QUESTIONS
//
// A question about rules is {rules, data, auth, now, read} or {…, writes}, and its answer is true,
// false, or "invalid" where the rules cannot be deployed. A question about an expression is
// {pattern, flags, texts}, and its answer is a list of booleans, or "invalid".

import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const require = createRequire(import.meta.url)
const targaryen = require('targaryen')
const regexp = require('targaryen/lib/parser/regexp')

function judge({ rules, data, auth, now, read, writes, query }) {
  let ruleset
  try {
    ruleset = targaryen.ruleset({ rules })
  } catch {
    return 'invalid'
  }
  const database = targaryen.database(ruleset, data, now - 1).as(auth)
  if (read !== undefined) return database.read(read, { now, query }).allowed
  return database.update('/', writes, now).allowed
}

function match({ pattern, flags, texts }) {
  let compiled
  try {
    compiled = regexp.from(pattern, flags)
  } catch {
    return 'invalid'
  }
  return texts.map((text) => compiled.test(text))
}

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line)
  console.log(JSON.stringify('pattern' in question ? match(question) : judge(question)))
}
