import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { after, before, beforeEach, test } from 'node:test'
import { deleteApp, initializeApp } from '@firebase/app'
import * as db from '@firebase/database'
import { Firebase, until } from './support.js'

let firebase

before(async () => {
  firebase = await Firebase.start()
})
after(() => firebase.stop())
beforeEach(() => firebase.reset())

const read = async (reference) => (await db.get(reference)).val()

test('set, get, update and remove are those of REST', async (t) => {
  const client = firebase.client(t)
  const book = db.ref(client, 'books/emma')
  await db.set(book, { title: 'Emma', pages: 474, tags: ['novel', 'irony'], none: null })
  assert.deepEqual(await firebase.rest('GET', '/books/emma'), {
    title: 'Emma',
    pages: 474,
    tags: ['novel', 'irony'],
  })
  await db.update(db.ref(client), { 'books/emma/pages': 475, 'books/emma/tags': null, shelf: 1 })
  assert.deepEqual(await firebase.rest('GET', '/'), {
    books: { emma: { title: 'Emma', pages: 475 } },
    shelf: 1,
  })
  await firebase.rest('PATCH', '/books/emma', { pages: 476, author: 'Jane Austen' })
  assert.deepEqual(await read(book), { title: 'Emma', pages: 476, author: 'Jane Austen' })
  await db.remove(book)
  assert.equal(await firebase.rest('GET', '/books'), null)
  assert.equal((await db.get(book)).exists(), false)
})

test('push makes keys in order of time', async (t) => {
  const list = db.ref(firebase.client(t), 'list')
  const keys = []
  for (const number of [1, 2, 3]) keys.push((await db.push(list, { number })).key)
  assert.deepEqual([...keys].sort(), keys)
  assert.deepEqual(Object.keys(await firebase.rest('GET', '/list')), keys)
})

test('values of every kind come back as they were', async (t) => {
  const client = firebase.client(t)
  const values = { yes: true, no: false, zero: 0, less: -1.5, far: 1e300, near: 5e-324, empty: '' }
  const texts = { quotes: '"\\/', lines: 'a\n\tb', grüße: '你好 😀', long: 'é'.repeat(70_000) }
  const all = { values, texts, list: ['a', 'b'], sparse: { 3: 'c', 30: 'd' } }
  await db.set(db.ref(client, 'all'), all)
  assert.deepEqual(await read(db.ref(firebase.client(t), 'all')), all)
})

test('server values', async (t) => {
  const client = firebase.client(t)
  await db.set(db.ref(client, 'a'), { at: db.serverTimestamp(), count: db.increment(2) })
  await Promise.all(Array.from({ length: 10 }, () => db.set(db.ref(client, 'a/count'), db.increment(3))))
  const { at, count } = await firebase.rest('GET', '/a')
  assert.ok(Math.abs(at - Date.now()) < 10_000)
  assert.equal(count, 32)
  const offsets = []
  db.onValue(db.ref(client, '.info/serverTimeOffset'), (snapshot) => offsets.push(snapshot.val()))
  await until(() => offsets.length > 0, 'an offset')
  assert.ok(Math.abs(offsets.at(-1)) < 10_000)
})

test('priorities', async (t) => {
  const client = firebase.client(t)
  await db.setWithPriority(db.ref(client, 'p/a'), 'first', 2)
  await db.setWithPriority(db.ref(client, 'p/b'), { n: 1 }, 1)
  await db.setPriority(db.ref(client, 'p/a'), 3)
  const other = firebase.client(t)
  const keys = []
  const children = await db.get(db.query(db.ref(other, 'p'), db.orderByPriority()))
  children.forEach((child) => {
    keys.push([child.key, child.priority])
  })
  assert.deepEqual(keys, [['b', 1], ['a', 3]])
})

test('a transaction sees what is there, and can decline', async (t) => {
  const client = firebase.client(t)
  const place = db.ref(client, 'counter')
  const first = await db.runTransaction(place, (n) => (n ?? 0) + 1)
  assert.deepEqual([first.committed, first.snapshot.val()], [true, 1])
  await firebase.rest('PUT', '/counter', 41)
  const second = await db.runTransaction(place, (n) => (n ?? 0) + 1)
  assert.equal(second.snapshot.val(), 42)
  const third = await db.runTransaction(place, () => undefined)
  assert.equal(third.committed, false)
  assert.equal(await read(place), 42)
  const removed = await db.runTransaction(place, () => null)
  assert.equal(removed.committed, true)
  assert.equal(await firebase.rest('GET', '/counter'), null)
})

test('transactions of two clients and of REST lose nothing', async (t) => {
  const one = db.ref(firebase.client(t), 'counter')
  const two = db.ref(firebase.client(t), 'counter')
  const byRest = async () => {
    for (;;) {
      const now = await firebase.request('GET', '/counter', undefined, { 'X-Firebase-ETag': 'true' })
      const etag = now.headers.get('etag')
      const next = ((await now.json()) ?? 0) + 1
      if ((await firebase.request('PUT', '/counter', next, { 'if-match': etag })).ok) return
    }
  }
  const work = []
  for (let round = 0; round < 15; round += 1) {
    work.push(db.runTransaction(one, (n) => (n ?? 0) + 1))
    work.push(db.runTransaction(two, (n) => (n ?? 0) + 1))
    work.push(byRest())
  }
  await Promise.all(work)
  assert.equal(await firebase.rest('GET', '/counter'), 45)
})

test('a transaction on any value needs one try when nobody else writes', async (t) => {
  const client = firebase.client(t)
  const keys = { b: 'c', 10: true, 9: false, '\uffff': 1, '😀': 2, '-5': 3, '007': 4, 7: 5 }
  const values = [true, 0, -1.5, 1e300, 5e-324, Date.now(), '', 'ä€😀', keys, { a: { b: [1, 2] } }, {
    '.priority': 'p',
    a: { '.value': 1, '.priority': 9 },
    b: 2,
  }]
  for (const [number, value] of values.entries()) {
    const place = db.ref(client, `v/${number}`)
    const stop = db.onValue(place, () => {})
    await db.set(place, value)
    let tries = 0
    await db.runTransaction(place, () => {
      tries += 1
      return 'replaced'
    })
    stop()
    assert.equal(tries, 1, JSON.stringify(value))
  }
})

test('what the SDK lets through and the database does not is an error', async (t) => {
  const client = firebase.client(t)
  // More than the service takes in one write of an SDK.
  await assert.rejects(db.set(db.ref(client, 'big'), ['x'.repeat(9e6), 'x'.repeat(9e6)]), /TOO_BIG/)
  await db.set(db.ref(client, 'small'), 1)
  assert.equal(await firebase.rest('GET', '/big'), null)
})

test('writes survive a restart with --data', async (t) => {
  const folder = await mkdtemp(`${tmpdir()}/narration-`)
  const first = await Firebase.start('--data', folder)
  await first.reset()
  await db.set(db.ref(first.client(t), 'kept'), { a: [1, 2], at: 5 })
  await first.stop()
  const second = await Firebase.start('--data', folder)
  t.after(async () => {
    await second.stop()
    await rm(folder, { recursive: true })
  })
  await second.rules({ '.read': true })
  assert.deepEqual(await read(db.ref(second.client(t), 'kept')), { a: [1, 2], at: 5 })
})

test('a name that no database can have stops the SDK', async (t) => {
  const client = firebase.client(t)
  const app = initializeApp({ databaseURL: `http://${firebase.host}?ns=no_name_` }, 'elsewhere')
  t.after(() => deleteApp(app))
  const warned = []
  t.mock.method(console, 'warn', (...words) => warned.push(words.join(' ')))
  db.get(db.ref(db.getDatabase(app), 'a')).catch(() => {})
  await until(() => warned.some((words) => words.includes('No database can be called')), 'a warning')
  assert.equal(await read(db.ref(client, 'a')), null)
})
