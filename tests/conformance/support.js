// What the tests of all SDKs share: a local Firebase, and the SDKs pointed at it.

import { after, before, beforeEach } from 'node:test'
import { deleteApp, initializeApp } from '@firebase/app'
import { connectDatabaseEmulator, getDatabase, goOffline } from '@firebase/database'
import { Firebase as Emulator } from '../frontend/emulator.js'

export { becomes, until } from '../frontend/emulator.js'

let clients = 0

/** A local Firebase that has clients of the database. */
class Firebase extends Emulator {
  client(t, mockUserToken) {
    const app = initializeApp({ projectId: this.namespace }, `client-${++clients}`)
    const database = getDatabase(app)
    const [host, port] = this.host.split(':')
    connectDatabaseEmulator(database, host, Number(port), { mockUserToken })
    t.after(() => {
      goOffline(database)
      return deleteApp(app)
    })
    return database
  }
}

export const OPEN = { '.read': true, '.write': true, scores: { '.indexOn': ['points', '.value'] } }

/** Storage rules for the tests of clients. */
export const STORAGE_RULES = `
rules_version = '2';
service firebase.storage {
  match /b/{bucket}/o {
    match /shared/{name=**} { allow read, write; }
    match /users/{uid}/{name=**} {
      allow read: if request.auth != null;
      allow write: if request.auth.uid == uid;
    }
  }
}`

/** A local Firebase for the tests of one file; empty before each. */
export function localFirebase() {
  const held = {}
  before(async () => {
    held.firebase = await Firebase.start()
    held.storage = held.firebase.storage
    process.env.FIREBASE_DATABASE_EMULATOR_HOST = held.firebase.host
    process.env.STORAGE_EMULATOR_HOST = held.storage
    process.env.FIREBASE_STORAGE_EMULATOR_HOST = held.storage.replace('http://', '')
    process.env.GCLOUD_PROJECT = held.firebase.namespace
    await storageRules(held.storage, STORAGE_RULES)
  })
  after(() => held.firebase.stop())
  beforeEach(async () => {
    await held.firebase.reset(OPEN)
    await fetch(`${held.storage}/internal/reset`, { method: 'POST' })
  })
  return held
}

/** What the library for testing rules does before a test. */
export async function storageRules(storage, content) {
  const body = JSON.stringify({ rules: { files: [{ name: 'storage.rules', content }] } })
  const answer = await fetch(`${storage}/internal/setRules`, { method: 'PUT', body })
  if (!answer.ok) throw new Error((await answer.json()).message)
}
