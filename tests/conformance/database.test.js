// The database of the JavaScript SDK: several databases, windows, one event a commit, priorities.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { deleteApp, initializeApp } from '@firebase/app'
import * as db from '@firebase/database'
import { becomes, localFirebase, until } from './support.js'

const held = localFirebase()

/** Every value that a listener is shown, in order. */
function values(query) {
  const seen = []
  db.onValue(query, (shown) => seen.push(shown.val()))
  return seen
}

/** A database by its URL. */
function byUrl(t, namespace) {
  const app = initializeApp({ databaseURL: `http://${held.firebase.host}?ns=${namespace}` }, namespace)
  const database = db.getDatabase(app)
  t.after(() => {
    db.goOffline(database)
    return deleteApp(app)
  })
  return database
}

test('an app has several databases, each of its own', async (t) => {
  const [one, two] = [byUrl(t, 'first-of-two'), byUrl(t, 'second-of-two')]
  await Promise.all([db.set(db.ref(one, 'a'), 1), db.set(db.ref(two, 'a'), 2)])
  assert.equal((await db.get(db.ref(one, 'a'))).val(), 1)
  assert.equal((await db.get(db.ref(two, 'a'))).val(), 2)
  assert.equal(await held.firebase.rest('GET', '/a'), null)
})

test('a window moves in one event', async (t) => {
  const other = held.firebase.client(t)
  await db.set(db.ref(other, 'list'), { m2: 2, m3: 3, m4: 4 })
  const window = db.query(db.ref(held.firebase.client(t), 'list'), db.limitToLast(3))
  const seen = values(window)
  await until(() => seen.length === 1, 'the first value')
  await db.set(db.ref(other, 'list/m5'), 5)
  await until(() => seen.length === 2, 'the window')
  await db.set(db.ref(other, 'list/m3'), null)
  await until(() => seen.length === 3, 'the window again')
  await sleep(100)
  assert.deepEqual(seen, [
    { m2: 2, m3: 3, m4: 4 },
    { m3: 3, m4: 4, m5: 5 },
    { m2: 2, m4: 4, m5: 5 },
  ])
})

test('children leave and come in one commit', async (t) => {
  const other = held.firebase.client(t)
  await db.set(db.ref(other, 'list'), { a: 1, b: 2, c: 3 })
  const events = []
  const window = db.query(db.ref(held.firebase.client(t), 'list'), db.limitToFirst(2))
  db.onChildAdded(window, (child) => events.push(`+${child.key}`))
  db.onChildRemoved(window, (child) => events.push(`-${child.key}`))
  db.onChildChanged(window, (child) => events.push(`~${child.key}`))
  await until(() => events.length === 2, 'the first children')
  await db.update(db.ref(other, 'list'), { 'a': null, 'b': 20, '0': 0 })
  await becomes(() => [...events.slice(2)].sort(), ['+0', '-a', '~b'])
})

for (const [name, narrow] of Object.entries({
  'a whole path': (ref) => ref,
  'a query by key': (ref) => db.query(ref, db.orderByKey(), db.startAt('a')),
  'a query by child': (ref) => db.query(ref, db.orderByChild('points'), db.limitToLast(5)),
})) {
  test(`an update of three is one event of ${name}`, async (t) => {
    const other = held.firebase.client(t)
    await db.set(db.ref(other, 'scores'), { a: { points: 1 }, b: { points: 2 }, c: { points: 3 } })
    const seen = values(narrow(db.ref(held.firebase.client(t), 'scores')))
    await until(() => seen.length === 1, 'the first value')
    await db.update(db.ref(other, 'scores'), { 'a/points': 10, b: null, 'c/points': 30 })
    await until(() => seen.length === 2, 'the update')
    await sleep(100)
    assert.deepEqual(seen.slice(1), [{ a: { points: 10 }, c: { points: 30 } }])
  })
}

test('a transaction below a window, seen by the window', async (t) => {
  const mine = held.firebase.client(t)
  await db.set(db.ref(held.firebase.client(t), 'scores'), { a: { points: 1 }, b: { points: 2 } })
  const seen = values(db.query(db.ref(mine, 'scores'), db.orderByChild('points'), db.limitToLast(1)))
  await until(() => seen.length > 0, 'the window')
  const done = await db.runTransaction(db.ref(mine, 'scores/a/points'), (points) => (points ?? 0) + 9)
  assert.equal(done.committed, true)
  await becomes(() => seen.at(-1), { a: { points: 10 } })
})

test('priorities, which the server may set', async (t) => {
  const database = held.firebase.client(t)
  const list = db.ref(database, 'list')
  await db.setWithPriority(db.child(list, 'late'), 1, db.serverTimestamp())
  await db.setWithPriority(db.child(list, 'early'), 2, 5)
  await db.setPriority(db.child(list, 'early'), 6)
  const order = []
  const found = await db.get(db.query(list, db.orderByPriority()))
  found.forEach((child) => {
    order.push([child.key, child.priority > 1e12 ? 'now' : child.priority])
  })
  assert.deepEqual(order, [['early', 6], ['late', 'now']])
})

test('the bounds of queries', async (t) => {
  const database = held.firebase.client(t)
  const scores = db.ref(database, 'scores')
  await db.set(scores, { a: 1, b: 2, c: 2, d: 3 })
  const { endBefore, equalTo, limitToFirst, limitToLast, orderByValue, startAfter } = db
  const cases = [
    [[startAfter(2)], ['d']],
    [[startAfter(2, 'b')], ['c', 'd']],
    [[endBefore(2)], ['a']],
    [[endBefore(2, 'c')], ['a', 'b']],
    [[equalTo(2)], ['b', 'c']],
    [[equalTo(2, 'c')], ['c']],
    [[limitToFirst(2)], ['a', 'b']],
    [[limitToLast(2)], ['c', 'd']],
  ]
  for (const [bounds, wanted] of cases) {
    const found = await db.get(db.query(scores, orderByValue(), ...bounds))
    assert.deepEqual(Object.keys(found.val()), wanted)
  }
})

test('what a client leaves behind, and what time it is', async (t) => {
  const leaving = held.firebase.client(t)
  await db.onDisconnect(db.ref(leaving, 'seen')).set(db.serverTimestamp())
  db.goOffline(leaving)
  const staying = held.firebase.client(t)
  await becomes(async () => (await db.get(db.ref(staying, 'seen'))).val() > 1e12, true)
  const offset = values(db.ref(staying, '.info/serverTimeOffset'))
  await until(() => offset.length > 0, 'the time')
  assert.ok(Math.abs(offset[0]) < 10_000)
})

test('rules that the console takes, and those that it refuses', async () => {
  const put = (text) =>
    fetch(`http://${held.firebase.host}/.settings/rules.json`, {
      method: 'PUT',
      headers: { Authorization: 'Bearer owner' },
      body: text,
    })
  const good = ['"auth != null // signed in\n && true"', '"root[\'exists\']()"', 'true']
  for (const rule of good) {
    assert.equal((await put(`{"rules": {".read": ${rule}}}`)).status, 200, rule)
  }
  const bad = [
    '7', '"7"', '"\'x\'"', '"auth.x == 1 ? 7 : true"', '"auth.x.contains(7)"', '"newData.exists()"',
    '"root.hasChildren([\'a\', 7])"', '"root.val().prop == 1"', '"root.child(\'x\') != null"',
    '"root.val() > true"', '"query.foo == 1"', '"root.val().matches(/(^a$|b)/)"',
    '"root.val().matches(/(?=a)/)"', '"root.val().matches(/(a)\\\\1/)"',
  ]
  for (const rule of bad) {
    assert.equal((await put(`{"rules": {".read": ${rule}}}`)).status, 400, rule)
  }
})
