// Which requests rules allow: reads {rules, requests} as JSON from a file, prints a list of booleans.
'use strict'

const fs = require('fs')
const targaryen = require('targaryen')

const { rules, requests } = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
const ruleset = targaryen.ruleset(rules)

function allowed ({ auth, now, data, read, writes }) {
  const database = targaryen.database(ruleset, data, now - 1).as(auth)
  if (read !== undefined) return database.read(read, { now }).allowed
  return database.update('/', writes, now).allowed
}

console.log(JSON.stringify(requests.map(allowed)))
