// The Admin SDK for Node.js: the database with its rules, and Cloud Storage.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deleteApp, initializeApp } from 'firebase-admin/app'
import { getDatabase, getDatabaseWithUrl, ServerValue } from 'firebase-admin/database'
import { getDownloadURL, getStorage } from 'firebase-admin/storage'
import { localFirebase } from './support.js'

const held = localFirebase()
const BUCKET = 'demo-books.appspot.com'
// Where the SDK wants a token of its own, it gets the one that passes every rule.
const credential = { getAccessToken: async () => ({ access_token: 'owner', expires_in: 3600 }) }
let apps = 0

function admin(t, options = {}) {
  const databaseURL = `http://${held.firebase.host}?ns=${held.firebase.namespace}`
  const given = { projectId: 'demo-books', storageBucket: BUCKET, databaseURL, ...options }
  const app = initializeApp(given, `admin-${++apps}`)
  t.after(async () => {
    getDatabase(app).goOffline()
    await deleteApp(app)
  })
  return app
}

test('references are written, read and removed', async (t) => {
  const ref = getDatabase(admin(t)).ref('a')
  await ref.set({ child: 1, at: ServerValue.TIMESTAMP, n: ServerValue.increment(2) })
  assert.ok((await ref.child('at').once('value')).val() > 1e12)
  assert.equal((await ref.child('n').once('value')).val(), 2)
  await ref.remove()
  assert.equal((await ref.once('value')).exists(), false)
})

test('another database by its URL', async (t) => {
  const other = getDatabaseWithUrl(`http://${held.firebase.host}?ns=second`, admin(t))
  await other.ref('a').set('there')
  assert.equal(await held.firebase.rest('GET', '/a'), null)
  assert.equal((await other.ref('a').once('value')).val(), 'there')
  other.goOffline()
})

test('rules are read as they were written, and as JSON', async (t) => {
  const database = getDatabase(admin(t, { credential }))
  const source = '{ // ours\n "rules": {".read": "auth != null", ".write": true}}'
  await database.setRules(source)
  assert.equal(await database.getRules(), source)
  assert.deepEqual(await database.getRulesJSON(), { rules: { '.read': 'auth != null', '.write': true } })
  await assert.rejects(database.setRules('{"rules": {".read": "7"}}'), /boolean/)
})

test('rules hold for an app with an override', async (t) => {
  await held.firebase.rules({ '.read': "auth.uid === 'me'", '.write': "auth.uid === 'me'" })
  const me = getDatabase(admin(t, { databaseAuthVariableOverride: { uid: 'me' } }))
  await me.ref('a').set(1)
  const nobody = getDatabase(admin(t, { databaseAuthVariableOverride: null }))
  await assert.rejects(nobody.ref('a').once('value'), /permission_denied/)
})

for (const resumable of [false, true]) {
  test(`a file, saved ${resumable ? 'in chunks' : 'at once'}`, async (t) => {
    const file = getStorage(admin(t)).bucket().file('d/ü b.wav')
    const content = Buffer.alloc(600_000, 'sound')
    await file.save(content, { resumable, contentType: 'audio/wav', metadata: { metadata: { k: 'v' } } })
    const [about] = await file.getMetadata()
    assert.equal(about.contentType, 'audio/wav')
    assert.deepEqual(about.metadata, { k: 'v' })
    // The SDK compares the checksum of what it gets.
    const [got] = await file.download({ validation: 'crc32c' })
    assert.ok(got.equals(content))
    const [part] = await file.download({ start: 1, end: 3, validation: false })
    assert.equal(part.toString(), 'oun')
    await file.delete()
    assert.deepEqual(await file.exists(), [false])
  })
}

test('files in several at once', async (t) => {
  const bucket = getStorage(admin(t)).bucket()
  const saved = Array.from({ length: 8 }, (_, i) =>
    bucket.file(`n${i}`).save(Buffer.alloc(300_000, String(i)), { resumable: true, contentType: 'a/b' }),
  )
  await Promise.all(saved)
  const [files] = await bucket.getFiles({ matchGlob: 'n[0-3]' })
  assert.deepEqual(files.map((file) => file.name), ['n0', 'n1', 'n2', 'n3'])
  for (const file of files) assert.equal((await file.download())[0].toString()[0], file.name[1])
})

test('preconditions of every change', async (t) => {
  const bucket = getStorage(admin(t)).bucket()
  const file = bucket.file('a')
  await file.save('x', { resumable: false })
  const failed = (error) => error.code === 412
  const never = { preconditionOpts: { ifGenerationMatch: 0 } }
  await assert.rejects(file.save('y', { resumable: false, ...never }), failed)
  await assert.rejects(file.save('y', { resumable: true, ...never }), failed)
  await assert.rejects(file.delete({ ifGenerationMatch: 1 }), failed)
  await assert.rejects(file.setMetadata({ cacheControl: 'no-store' }, { ifMetagenerationMatch: 9 }), failed)
  await bucket.file('b').save('y', { resumable: false })
  await assert.rejects(bucket.file('b').copy(file, { preconditionOpts: { ifGenerationMatch: 0 } }), failed)
  await assert.rejects(bucket.combine(['a', 'b'], 'a', { ifGenerationMatch: 0 }), failed)
  await bucket.combine(['a', 'b'], 'c')
  assert.equal((await bucket.file('c').download())[0].toString(), 'xy')
  await file.copy('copied')
  await file.move('moved')
  const [names] = await bucket.getFiles()
  assert.deepEqual(names.map((one) => one.name), ['b', 'c', 'copied', 'moved'])
})

test('a download URL that the SDK makes', async (t) => {
  const file = getStorage(admin(t)).bucket().file('narrations/a.wav')
  const metadata = { metadata: { firebaseStorageDownloadTokens: 'one,two' } }
  await file.save('sound', { resumable: false, metadata })
  // The rules are closed: without the emulator's credential the SDK is refused.
  await assert.rejects(getDownloadURL(file))
  const url = `${held.storage}/v0/b/${BUCKET}/o/narrations%2Fa.wav?alt=media&token=two`
  assert.equal(await (await fetch(url)).text(), 'sound')
})

test('buckets', async (t) => {
  const storage = getStorage(admin(t))
  assert.deepEqual(await storage.bucket('none-there').exists(), [false])
  await storage.bucket('none-there').create()
  assert.deepEqual(await storage.bucket('none-there').exists(), [true])
  await storage.bucket('none-there').delete()
})
