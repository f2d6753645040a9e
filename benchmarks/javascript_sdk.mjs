// Operations of the Firebase JavaScript SDK, timed; see javascript_sdk.py, which starts it.
//
//   node javascript_sdk.mjs HOST OPERATIONS LISTENERS
//
// Prints a list of rows as JSON.

import { createRequire } from 'node:module'

const require = createRequire(new URL('../tests/frontend/package.json', import.meta.url))
const { initializeApp } = require('@firebase/app')
const db = require('@firebase/database')

const AT_ONCE = 100
const [host, operations, listeners] = [process.argv[2], ...process.argv.slice(3).map(Number)]
const text = 'x'.repeat(1000)

function client(name) {
  const database = db.getDatabase(initializeApp({ projectId: 'demo-books' }, name))
  const [address, port] = host.split(':')
  db.connectDatabaseEmulator(database, address, Number(port))
  return database
}

/** A row for `count` runs of `operation`, so many at once. */
async function timed(what, count, atOnce, operation) {
  const milliseconds = []
  let next = 0
  const work = async () => {
    while (next < count) {
      const number = next
      next += 1
      const began = performance.now()
      await operation(number)
      milliseconds.push(performance.now() - began)
    }
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: atOnce }, work))
  return row(what, count, performance.now() - began, milliseconds)
}

function row(what, count, total, milliseconds) {
  const sorted = milliseconds.sort((a, b) => a - b)
  return {
    what,
    operations: count,
    per_second: (1000 * count) / total,
    median_ms: sorted[Math.floor(sorted.length / 2)],
    p99_ms: sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))],
  }
}

/** One writer, many listeners with a connection each: until the last has heard, write by write. */
async function fanOut(writer, count) {
  const place = db.ref(writer, 'shared')
  await db.set(place, -1)
  let waiting = listeners
  let heardByAll = () => {}
  const everybody = new Promise((resolve) => {
    heardByAll = resolve
  })
  for (let number = 0; number < listeners; number += 1) {
    db.onValue(db.ref(client(`listener-${number}`), 'shared'), () => {
      waiting -= 1
      if (waiting === 0) heardByAll()
    })
  }
  await everybody
  return timed(`1 KB to ${listeners} listeners, until the last has it`, count, 1, (number) => {
    waiting = listeners
    const heard = new Promise((resolve) => {
      heardByAll = resolve
    })
    db.set(place, { number, text })
    return heard
  })
}

const one = client('one')
const record = (number) => db.ref(one, `books/b${number}`)
const rows = []
await db.set(record('warm'), text)
rows.push(await timed('set 1 KB, one after the other', operations, 1, (n) => db.set(record(n), { n, text })))
rows.push(await timed(`set 1 KB, ${AT_ONCE} at once`, operations, AT_ONCE, (n) => db.set(record(n), { n: -n, text })))
rows.push(await timed('get 1 KB, one after the other', operations, 1, (n) => db.get(record(n))))
rows.push(await timed(`get 1 KB, ${AT_ONCE} at once`, operations, AT_ONCE, (n) => db.get(record(n))))
const counter = db.ref(one, 'counter')
db.onValue(counter, () => {})
const increment = () => db.runTransaction(counter, (n) => (n ?? 0) + 1)
rows.push(await timed('transaction on a counter, one after the other', operations, 1, increment))
rows.push(await fanOut(one, Math.ceil(operations / 10)))
console.log(JSON.stringify(rows))
process.exit(0)
