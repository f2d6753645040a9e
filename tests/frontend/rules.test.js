import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import * as db from '@firebase/database'
import { becomes, Firebase, until } from './support.js'

const RULES = {
  users: {
    $uid: {
      '.read': 'auth.uid === $uid',
      '.write': 'auth.uid === $uid',
      age: { '.validate': 'newData.isNumber()' },
    },
  },
  books: {
    '.read': "root.child('open').val() === true",
    $book: { '.write': "auth.token.role === 'admin'" },
  },
  log: { '.read': 'query.orderByKey && query.limitToLast <= 10' },
}

let firebase

before(async () => {
  firebase = await Firebase.start()
})
after(() => firebase.stop())
beforeEach(() => firebase.reset(RULES))

test('writes that the rules refuse, and what listeners see of them', async (t) => {
  const ann = firebase.client(t, { sub: 'ann' })
  const seen = []
  db.onValue(db.ref(ann, 'users/ann/age'), (snapshot) => seen.push(snapshot.val()))
  await db.set(db.ref(ann, 'users/ann/age'), 30)
  await assert.rejects(db.set(db.ref(ann, 'users/ann/age'), 'old'), /PERMISSION_DENIED/)
  await assert.rejects(db.set(db.ref(ann, 'users/bob'), 1), { code: 'PERMISSION_DENIED' })
  const both = { 'users/ann/age': 31, 'users/bob/age': 31 }
  await assert.rejects(db.update(db.ref(ann), both), /PERMISSION_DENIED/)
  await assert.rejects(db.runTransaction(db.ref(ann, 'books/a'), () => 1), /permission_denied/)
  await assert.rejects(db.onDisconnect(db.ref(ann, 'books/a')).set(1), /PERMISSION_DENIED/)
  assert.deepEqual(seen, [30, 'old', 30, 31, 30])
  assert.deepEqual(await firebase.rest('GET', '/users'), { ann: { age: 30 } })
})

test('who signs in as whom', async (t) => {
  const admin = firebase.client(t, { sub: 'ann', role: 'admin' })
  await db.set(db.ref(admin, 'books/a'), 1)
  const nobody = firebase.client(t)
  await assert.rejects(db.get(db.ref(nobody, 'users/ann')), /Permission denied/)
  const owner = firebase.client(t, 'owner')
  await db.set(db.ref(owner, 'open'), true)
  assert.deepEqual((await db.get(db.ref(owner))).val(), { books: { a: 1 }, open: true })
})

test('a listener is refused, and one that is shut out later is cancelled', async (t) => {
  const client = firebase.client(t, { sub: 'ann' })
  const cancelled = []
  const seen = []
  const listen = (query, what) =>
    db.onValue(query, (snapshot) => seen.push([what, snapshot.val()]), (error) => {
      cancelled.push([what, error.code])
    })
  const books = db.ref(client, 'books')
  listen(books, 'too early')
  await becomes(() => cancelled.splice(0, cancelled.length && 9), [['too early', 'PERMISSION_DENIED']])
  await firebase.rest('PUT', '/open', true)
  listen(db.query(books, db.orderByKey(), db.limitToFirst(2)), 'query')
  await until(() => seen.length === 1, 'a value')
  await firebase.rest('PUT', '/open', false)
  await until(() => cancelled.length === 1, 'the end')
  assert.deepEqual(cancelled, [['query', 'PERMISSION_DENIED']])
  await firebase.rest('PUT', '/open', true)
  listen(books, 'whole')
  await until(() => seen.length === 2, 'a value')
  await firebase.rules({ '.read': false })
  await until(() => cancelled.length === 2, 'the end')
  await firebase.rest('PUT', '/books/a', 1)
  assert.deepEqual(cancelled[1], ['whole', 'PERMISSION_DENIED'])
  assert.deepEqual(seen, [['query', null], ['whole', null]])
})

test('rules that look at the query', async (t) => {
  const log = db.ref(firebase.client(t), 'log')
  await firebase.rest('PUT', '/log', { a: 1, b: 2 })
  const last = await db.get(db.query(log, db.orderByKey(), db.limitToLast(1)))
  assert.deepEqual(last.val(), { b: 2 })
  await assert.rejects(db.get(db.query(log, db.orderByKey(), db.limitToLast(11))), /denied/)
  await assert.rejects(db.get(log), /denied/)
})

test('a credential that is revoked is brought again', async (t) => {
  const client = firebase.client(t, { sub: 'ann' })
  let age = null
  db.onValue(db.ref(client, 'users/ann/age'), (snapshot) => {
    age = snapshot.val()
  })
  await db.set(db.ref(client, 'users/ann/age'), 30)
  const { streams } = await firebase.control('POST', 'faults', { kind: 'revoke_streams' })
  assert.equal(streams, 1)
  await firebase.rest('PUT', '/users/ann/age', 31)
  await becomes(() => age, 31)
  await db.set(db.ref(client, 'users/ann/age'), 32)
})

test('the contract: an admin asks for a narration, and may write nothing else of it', async (t) => {
  // The rules of a local Firebase that was given none.
  const fresh = await Firebase.start()
  t.after(() => fresh.stop())
  const admin = fresh.client(t, { sub: 'admin' })
  const book = db.ref(admin, 'books/emma')
  await db.set(book, { title: 'Emma', narrative: 'Emma Woodhouse, handsome, clever, and rich.' })
  await db.update(book, {
    narrativeAudioStatus: 'requested',
    narrativeAudioRequestedAt: db.serverTimestamp(),
    narrativeAudioRequestedBy: 'admin',
  })
  await assert.rejects(db.update(book, { narrativeAudioStatus: 'ready' }), /PERMISSION_DENIED/)
  await assert.rejects(db.update(book, { narrativeAudioUrl: 'https://x' }), /PERMISSION_DENIED/)
  await db.update(book, { narrativeAudioStatus: null })
})
