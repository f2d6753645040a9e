// Many random writes by several clients and by REST, with connections cut in between: in the end
// what each listener has put together from its events is what a fresh client is sent.

import { after, before, beforeEach, test } from 'node:test'
import * as db from '@firebase/database'
import { becomes, Firebase } from './support.js'

const KEYS = ['ann', 'bob', 'cyd', 'dan', 'eve', '1', '2', '10', 'zoë']
const QUERIES = {
  everything: [],
  best: [db.orderByChild('points'), db.limitToLast(3)],
  range: [db.orderByChild('points'), db.startAt(2), db.endBefore(7)],
  keys: [db.orderByKey(), db.startAfter('10'), db.limitToFirst(4)],
  priority: [db.orderByPriority(), db.limitToFirst(3)],
  unindexed: [db.orderByChild('weight'), db.limitToFirst(2)],
}

let firebase

before(async () => {
  firebase = await Firebase.start()
})
after(() => firebase.stop())
beforeEach(() => firebase.reset())

/** A generator of numbers in [0, 1) that gives the same for the same seed (Park and Miller). */
function random(seed) {
  let state = seed
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

/** What a query gives in its order, kept up by value events and, on its own, by child events. */
function watch(database, constraints) {
  const query = db.query(db.ref(database, 'scores'), ...constraints)
  const view = { client: database, value: null, children: [] }
  const without = (key) => view.children.filter(([other]) => other !== key)
  const place = (child, before) => {
    const rest = without(child.key)
    const at = before === null ? 0 : rest.findIndex(([key]) => key === before) + 1
    view.children = [...rest.slice(0, at), [child.key, child.exportVal()], ...rest.slice(at)]
  }
  db.onValue(query, (snapshot) => {
    view.value = []
    snapshot.forEach((child) => {
      view.value.push([child.key, child.exportVal()])
    })
  })
  db.onChildAdded(query, place)
  db.onChildMoved(query, place)
  db.onChildChanged(query, place)
  db.onChildRemoved(query, (child) => {
    view.children = without(child.key)
  })
  return view
}

async function write(chance, clients) {
  const one = (list) => list[Math.floor(chance() * list.length)]
  const points = () => one([1, 2, 2.5, 3, 7, 'many', true, null])
  const scores = db.ref(one(clients), 'scores')
  const child = db.child(scores, one(KEYS))
  const writes = [
    () => db.set(child, { points: points(), weight: chance() }),
    () => db.set(db.child(child, 'points'), points()),
    () => db.update(scores, { [`${one(KEYS.slice(3))}/points`]: points(), [one(KEYS.slice(0, 3))]: null }),
    () => db.remove(child),
    () => db.setWithPriority(child, { points: points() }, one([1, 2, 'p'])),
    () => db.runTransaction(db.child(child, 'points'), (n) => (typeof n === 'number' ? n + 1 : 1)),
    () => db.set(db.child(child, 'weight'), db.increment(1)),
    () => firebase.rest('PATCH', `/scores/${encodeURIComponent(one(KEYS))}`, { points: points() }),
    () => firebase.rest('PUT', '/scores/ann', one([null, 5, { points: 4 }])),
    () => firebase.rest('PUT', '/scores', { ann: 1, eve: { points: points() }, 3: { weight: 0 } }),
  ]
  await one(writes)()
}

for (const seed of [1, 2]) {
  test(`listeners converge, seed ${seed}`, async (t) => {
    const chance = random(seed)
    // One a client: whoever listens to everything asks the server for nothing more.
    const watchAll = () =>
      Object.values(QUERIES).map((constraints) => watch(firebase.client(t), constraints))
    const old = watchAll()
    // Who sees a window alone does not write: of what it writes outside, the SDK keeps its own guess.
    const clients = [old[0].client, firebase.client(t), firebase.client(t)]
    t.mock.method(console, 'warn', () => {})
    for (let round = 0; round < 3; round += 1) {
      const work = []
      for (let number = 0; number < 60; number += 1) {
        // A transaction is given up when its connection is cut, or when its client writes there.
        work.push(write(chance, clients).catch((error) => {
          if (!['disconnect', 'set'].includes(error.message)) throw error
        }))
        if (number % 7 === 0) await Promise.all(work)
      }
      if (round < 2) await firebase.cut()
      await Promise.all(work)
    }
    for (const [number, view] of watchAll().entries()) {
      const name = Object.keys(QUERIES)[number]
      await becomes(() => view.value !== null, true)
      await becomes(() => [name, old[number].value], [name, view.value])
      await becomes(() => [name, old[number].children], [name, view.value])
    }
  })
}
