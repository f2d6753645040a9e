// Cloud Storage of the JavaScript SDK, as a frontend uses it that plays audio.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deleteApp, initializeApp } from '@firebase/app'
import * as st from '@firebase/storage'
import { localFirebase, STORAGE_RULES, storageRules } from './support.js'

const held = localFirebase()
const SOUND = new Uint8Array(700_000).map((_, i) => i % 251)
let clients = 0

/** A client's storage; `uid` signs it in. */
function client(t, uid, bucket = 'demo-books.appspot.com') {
  const app = initializeApp({ projectId: 'demo-books', storageBucket: bucket }, `storage-${++clients}`)
  const storage = st.getStorage(app)
  const [host, port] = held.storage.replace('http://', '').split(':')
  const options = uid ? { mockUserToken: { sub: uid } } : {}
  st.connectStorageEmulator(storage, host, Number(port), options)
  storage.maxUploadRetryTime = 3000
  storage.maxOperationRetryTime = 3000
  t.after(() => deleteApp(app))
  return storage
}

const refused = (code) => (error) => error.code === `storage/${code}`

test('what is uploaded can be played by its URL, in parts', async (t) => {
  const ref = st.ref(client(t), 'shared/a b/ü.wav')
  const about = { contentType: 'audio/wav', cacheControl: 'max-age=60', customMetadata: { book: 'emma' } }
  const { metadata } = await st.uploadBytes(ref, SOUND, about)
  assert.equal(metadata.size, SOUND.length)
  assert.equal(metadata.contentType, 'audio/wav')
  assert.deepEqual(metadata.customMetadata, { book: 'emma' })
  const url = await st.getDownloadURL(ref)
  const whole = await fetch(url)
  assert.equal(whole.headers.get('content-type'), 'audio/wav')
  assert.deepEqual(new Uint8Array(await whole.arrayBuffer()), SOUND)
  const part = await fetch(url, { headers: { Range: 'bytes=100-199' } })
  assert.equal(part.status, 206)
  assert.deepEqual(new Uint8Array(await part.arrayBuffer()), SOUND.slice(100, 200))
  assert.deepEqual(new Uint8Array(await st.getBytes(ref)), SOUND)
  assert.equal(await st.getDownloadURL(ref), url)
})

test('an upload in chunks, whose progress is told', async (t) => {
  const task = st.uploadBytesResumable(st.ref(client(t), 'shared/big'), SOUND, { contentType: 'audio/wav' })
  const progress = []
  task.on('state_changed', (now) => progress.push(now.bytesTransferred))
  const { metadata } = await task
  assert.equal(metadata.contentType, 'audio/wav')
  assert.equal(progress.at(-1), SOUND.length)
  assert.ok(progress.length > 2, `${progress}`)
})

test('texts in every format', async (t) => {
  const ref = st.ref(client(t), 'shared/text')
  for (const [text, format] of [
    ['grüße', 'raw'],
    ['Z3LDvMOfZQ==', 'base64'],
    ['Z3LDvMOfZQ', 'base64url'],
    ['data:text/plain;base64,Z3LDvMOfZQ==', 'data_url'],
  ]) {
    await st.uploadString(ref, text, format)
    assert.equal(new TextDecoder().decode(await st.getBytes(ref)), 'grüße')
  }
})

test('lists, whole and by pages', async (t) => {
  const storage = client(t)
  for (const name of ['a', 'b', 'c', 'd/x', 'd/e/y']) await st.uploadString(st.ref(storage, `shared/${name}`), name)
  const folder = st.ref(storage, 'shared')
  const all = await st.listAll(folder)
  assert.deepEqual(all.items.map((item) => item.name), ['a', 'b', 'c'])
  assert.deepEqual(all.prefixes.map((prefix) => prefix.name), ['d'])
  const names = []
  let pageToken
  do {
    const page = await st.list(folder, { maxResults: 2, pageToken })
    names.push(...page.items.map((item) => item.name), ...page.prefixes.map((prefix) => `${prefix.name}/`))
    assert.ok(page.items.length + page.prefixes.length <= 2)
    pageToken = page.nextPageToken
  } while (pageToken)
  assert.deepEqual(names.sort(), ['a', 'b', 'c', 'd/'])
})

test('metadata is changed and taken away', async (t) => {
  const ref = st.ref(client(t), 'shared/a')
  await st.uploadString(ref, 'x', 'raw', { customMetadata: { k: 'v', l: 'w' } })
  const changed = await st.updateMetadata(ref, { cacheControl: 'no-store', customMetadata: { k: null } })
  assert.equal(changed.cacheControl, 'no-store')
  const found = await st.getMetadata(ref)
  assert.deepEqual(found.customMetadata, { l: 'w' })
  assert.equal(found.metageneration, '2')
})

test('what is not there', async (t) => {
  const ref = st.ref(client(t), 'shared/none')
  for (const ask of [st.getMetadata, st.getDownloadURL, st.getBytes, st.deleteObject]) {
    await assert.rejects(ask(ref), refused('object-not-found'))
  }
  const there = st.ref(client(t), 'shared/there')
  await st.uploadString(there, 'x')
  await st.deleteObject(there)
  await assert.rejects(st.getMetadata(there), refused('object-not-found'))
})

test('who may do what is up to the rules', async (t) => {
  const [nobody, me, you] = [client(t), client(t, 'me'), client(t, 'you')]
  const mine = 'users/me/a'
  await assert.rejects(st.uploadString(st.ref(nobody, mine), 'x'), refused('unauthorized'))
  await assert.rejects(st.uploadString(st.ref(you, mine), 'x'), refused('unauthorized'))
  await st.uploadString(st.ref(me, mine), 'x')
  await assert.rejects(st.getMetadata(st.ref(nobody, mine)), refused('unauthorized'))
  await assert.rejects(st.listAll(st.ref(nobody, 'users/me')), refused('unauthorized'))
  await assert.rejects(st.deleteObject(st.ref(you, mine)), refused('unauthorized'))
  // A URL opens its file, whoever asks.
  const url = await st.getDownloadURL(st.ref(you, mine))
  assert.equal((await fetch(url)).status, 200)
  await assert.rejects(st.getMetadata(st.ref(client(t, 'me'), 'elsewhere')), refused('unauthorized'))
})

test('rules are replaced while it runs', async (t) => {
  const ref = st.ref(client(t), 'shared/a')
  await st.uploadString(ref, 'x')
  await storageRules(held.storage, STORAGE_RULES.replace('allow read, write;', 'allow read;'))
  try {
    await assert.rejects(st.uploadString(ref, 'x'), refused('unauthorized'))
    await st.getMetadata(ref)
  } finally {
    await storageRules(held.storage, STORAGE_RULES)
  }
  await assert.rejects(storageRules(held.storage, 'banana'), /error updating rules/)
})

test('a bucket of its own', async (t) => {
  const ref = st.ref(client(t, undefined, 'another-bucket'), 'shared/a')
  await st.uploadString(ref, 'x')
  assert.equal((await st.getMetadata(ref)).bucket, 'another-bucket')
  await assert.rejects(st.getMetadata(st.ref(client(t), 'shared/a')), refused('object-not-found'))
})
