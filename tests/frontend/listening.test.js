import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, beforeEach, test } from 'node:test'
import * as db from '@firebase/database'
import { becomes, Firebase, until } from './support.js'

const SCORES = {
  ann: { points: 3, name: { last: 'Young' } },
  bob: { points: 10, name: { last: 'Xu' } },
  cyd: { points: 3, name: { last: 'Zorn' } },
  dan: { points: 'many' },
  eve: { points: null, name: { last: 'Abt' } },
  1: { points: true },
  12: { points: 1.5 },
}

let firebase

before(async () => {
  firebase = await Firebase.start()
})
after(() => firebase.stop())
beforeEach(() => firebase.reset())

/** The child events of a query as text, in order: `+` added, `~` changed, `>` moved, `-` removed. */
function record(query) {
  const events = []
  const hear = (mark) => (child, before) => events.push(`${mark}${child.key}${before ? `<${before}` : ''}`)
  db.onChildAdded(query, hear('+'))
  db.onChildChanged(query, hear('~'))
  db.onChildMoved(query, hear('>'))
  db.onChildRemoved(query, (child) => events.push(`-${child.key}`))
  return events
}

test('child events in order of a child', async (t) => {
  await firebase.rest('PUT', '/scores', { ann: { points: 1 }, bob: { points: 2 } })
  const events = record(db.query(db.ref(firebase.client(t), 'scores'), db.orderByChild('points')))
  await becomes(() => events.splice(0, events.length && 9), ['+ann', '+bob<ann'])
  const steps = [
    ['PUT', '/scores/cyd', { points: 1.5 }, ['+cyd<ann']],
    ['PUT', '/scores/ann/points', 5, ['>ann<bob', '~ann<bob']],
    ['PATCH', '/scores', { 'bob/name': 'Bob', cyd: null }, ['-cyd', '~bob']],
    ['PUT', '/scores', { bob: { points: 2 } }, ['-ann', '~bob']],
    ['DELETE', '/scores', undefined, ['-bob']],
  ]
  for (const [method, path, body, wanted] of steps) {
    await firebase.rest(method, path, body)
    await until(() => events.length >= wanted.length, `${wanted}, but for ${events}`)
    assert.deepEqual(events.splice(0).sort(), wanted.sort())
  }
})

test('queries', async (t) => {
  await firebase.rest('PUT', '/scores', SCORES)
  await firebase.rest('PUT', '/scores/bob/.priority', 1)
  const { orderByChild, orderByKey, orderByValue, orderByPriority } = db
  const { limitToFirst, limitToLast, startAt, startAfter, endAt, endBefore, equalTo } = db
  const points = orderByChild('points')
  const cases = [
    [[points], ['eve', '1', '12', 'ann', 'cyd', 'bob', 'dan']],
    [[points, limitToFirst(3)], ['eve', '1', '12']],
    [[points, limitToLast(2)], ['bob', 'dan']],
    [[points, startAt(3)], ['ann', 'cyd', 'bob', 'dan']],
    [[points, startAfter(3)], ['bob', 'dan']],
    [[points, startAfter(3, 'ann')], ['cyd', 'bob', 'dan']],
    [[points, startAt(3, 'b')], ['cyd', 'bob', 'dan']],
    [[points, endAt(3)], ['eve', '1', '12', 'ann', 'cyd']],
    [[points, endAt(3, 'ann')], ['eve', '1', '12', 'ann']],
    [[points, endBefore(3)], ['eve', '1', '12']],
    [[points, endBefore(3, 'cyd')], ['eve', '1', '12', 'ann']],
    [[points, equalTo(3)], ['ann', 'cyd']],
    [[points, equalTo(3, 'cyd')], ['cyd']],
    [[points, equalTo(null)], ['eve']],
    [[points, equalTo('many')], ['dan']],
    [[points, startAt(2), endAt(20), limitToLast(2)], ['cyd', 'bob']],
    [[points, startAt(true), endBefore('many'), limitToFirst(3)], ['1', '12', 'ann']],
    [[orderByChild('name/last')], ['1', '12', 'dan', 'eve', 'bob', 'ann', 'cyd']],
    [[orderByKey()], ['1', '12', 'ann', 'bob', 'cyd', 'dan', 'eve']],
    [[orderByKey(), startAt('2'), limitToFirst(2)], ['12', 'ann']],
    [[orderByKey(), startAfter('ann'), endBefore('dan')], ['bob', 'cyd']],
    [[orderByKey(), equalTo('eve')], ['eve']],
    [[orderByKey(), limitToLast(1)], ['eve']],
    [[orderByPriority(), limitToLast(1)], ['bob']],
    [[orderByPriority(), equalTo(null), limitToFirst(1)], ['1']],
    [[orderByValue(), limitToFirst(1)], ['1']],
  ]
  // One client a question: what another listener has brought is no answer.
  for (const [constraints, wanted] of cases) {
    const client = firebase.client(t)
    const query = db.query(db.ref(client, 'scores'), ...constraints)
    const keys = (snapshot) => {
      const found = []
      snapshot.forEach((child) => {
        found.push(child.key)
      })
      return found
    }
    const what = JSON.stringify(constraints.map((constraint) => ({ ...constraint })))
    assert.deepEqual(keys(await db.get(query)), wanted, `get ${what}`)
    let heard = null
    db.onValue(db.query(db.ref(firebase.client(t), 'scores'), ...constraints), (snapshot) => {
      heard = keys(snapshot)
    })
    await until(() => heard, 'a value')
    assert.deepEqual(heard, wanted, `listen ${what}`)
  }
})

test('a window of a query moves along', async (t) => {
  await firebase.rest('PUT', '/scores', { ann: { points: 1 }, bob: { points: 2 }, cyd: { points: 3 } })
  const top = db.query(db.ref(firebase.client(t), 'scores'), db.orderByChild('points'), db.limitToLast(2))
  const events = record(top)
  let value = null
  db.onValue(top, (snapshot) => {
    value = Object.keys(snapshot.val() ?? {})
  })
  await becomes(() => value, ['bob', 'cyd'])
  events.length = 0
  await firebase.rest('PUT', '/scores/ann/points', 9)
  await becomes(() => value, ['ann', 'cyd'])
  assert.deepEqual(events.splice(0).sort(), ['+ann<cyd', '-bob'])
  await firebase.rest('DELETE', '/scores/cyd')
  await becomes(() => value, ['ann', 'bob'])
  assert.deepEqual(events.sort(), ['+bob', '-cyd'])
})

test('a query without index is filtered by the client, with a warning', async (t) => {
  await firebase.rest('PUT', '/books', { a: { n: 1 }, b: { n: 2 }, c: { n: 3 } })
  const warned = []
  t.mock.method(console, 'warn', (...words) => warned.push(words.join(' ')))
  const query = db.query(db.ref(firebase.client(t), 'books'), db.orderByChild('n'), db.limitToLast(2))
  let value = null
  db.onValue(query, (snapshot) => {
    value = Object.keys(snapshot.val())
  })
  await becomes(() => value, ['b', 'c'])
  assert.match(warned.join(), /".indexOn": "n" at \/books/)
  await firebase.rest('PUT', '/books/a/n', 9)
  await becomes(() => value, ['a', 'c'])
  const asked = db.query(db.ref(firebase.client(t), 'books'), db.orderByChild('n'))
  await assert.rejects(db.get(asked), /Index not defined, add ".indexOn": "n", for path "\/books"/)
})

test('offline and back: what was missed, and what was written meanwhile', async (t) => {
  await firebase.rest('PUT', '/books', { kept: 1, changed: 1, dropped: 1 })
  const client = firebase.client(t)
  const events = record(db.ref(client, 'books'))
  await until(() => events.length === 3, 'three books')
  events.length = 0
  db.goOffline(client)
  const mine = db.set(db.ref(client, 'books/mine'), 1)
  const reached = db.runTransaction(db.ref(client, 'books/kept'), (n) => n + 1)
  await firebase.rest('PATCH', '/books', { changed: 2, dropped: null, added: 1 })
  assert.deepEqual(events.sort(), ['+mine<kept', '~kept<dropped'])
  events.length = 0
  db.goOnline(client)
  await Promise.all([mine, reached])
  await until(() => events.length >= 3, 'catching up')
  assert.deepEqual(events.sort(), ['+added', '-dropped', '~changed<added'])
  assert.deepEqual(await firebase.rest('GET', '/books'), { kept: 2, changed: 2, added: 1, mine: 1 })
})

test('a connection that is cut comes back, and brings only what has changed', async (t) => {
  const books = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, 'x'.repeat(200)]))
  await firebase.rest('PUT', '/books', books)
  const client = firebase.client(t)
  const online = []
  db.onValue(db.ref(client, '.info/connected'), (snapshot) => online.push(snapshot.val()))
  let seen = 0
  db.onValue(db.ref(client, 'books'), (snapshot) => {
    seen = snapshot.size
  })
  await until(() => seen === 500, 'the books')
  await firebase.control('DELETE', 'traffic')
  assert.equal(await firebase.cut(), 1)
  await becomes(() => online.slice(-2), [false, true])
  await db.set(db.ref(client, 'books/new'), 1)
  await until(() => seen === 501, 'a new book')
  assert.ok((await firebase.sent()) < 2000, 'what the client knew was sent again')
})

test('one of twenty thousand children: only the change is sent', async (t) => {
  const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, { n: i }]))
  await firebase.rest('PUT', '/many', many)
  const client = firebase.client(t)
  const changed = []
  let size = 0
  db.onValue(db.ref(client, 'many'), (snapshot) => {
    size = snapshot.size
  })
  db.onChildChanged(db.ref(client, 'many'), (child) => changed.push(child.key))
  await until(() => size === 20_000, 'the children')
  await db.set(db.ref(client, 'many/k7/n'), -7)
  await until(() => changed.length === 1, 'a change')
  await firebase.control('DELETE', 'traffic')
  await firebase.rest('PUT', '/many/k8/n', -8)
  await until(() => changed.length === 2, 'another change')
  assert.ok((await firebase.sent()) < 200)
})

test('who stops listening hears nothing', async (t) => {
  const client = firebase.client(t)
  const heard = []
  const stop = db.onValue(db.ref(client, 'a'), (snapshot) => heard.push(snapshot.val()))
  await db.set(db.ref(client, 'a'), 1)
  stop()
  await firebase.control('DELETE', 'traffic')
  await firebase.rest('PUT', '/a', 'x'.repeat(1000))
  await db.set(db.ref(client, 'b'), 1)
  assert.ok((await firebase.sent()) < 500)
  assert.equal(heard.at(-1), 1)
})

test('onDisconnect when a client leaves', async (t) => {
  const client = firebase.client(t)
  const here = db.ref(client, 'here')
  await db.set(here, { ann: true, bob: { state: 'here', kept: 1 } })
  await db.onDisconnect(db.child(here, 'ann')).remove()
  await db.onDisconnect(db.child(here, 'bob')).update({ state: 'gone', at: db.serverTimestamp() })
  await db.onDisconnect(db.child(here, 'cyd')).set(true)
  await db.onDisconnect(db.child(here, 'cyd')).cancel()
  assert.equal((await firebase.rest('GET', '/here')).ann, true)
  db.goOffline(client)
  await until(async () => (await firebase.rest('GET', '/here')).ann === undefined, 'the end')
  const { at, ...rest } = (await firebase.rest('GET', '/here')).bob
  assert.ok(Math.abs(at - Date.now()) < 10_000)
  assert.deepEqual(rest, { state: 'gone', kept: 1 })
  assert.equal((await firebase.rest('GET', '/here')).cyd, undefined)
})

test('onDisconnect when a connection is cut, and when a client is killed', async (t) => {
  const client = firebase.client(t)
  await db.onDisconnect(db.ref(client, 'cut')).set('by the network')
  await firebase.cut()
  await becomes(() => firebase.rest('GET', '/cut'), 'by the network')
  const script = `
    import { Firebase } from './support.js'
    import * as db from '@firebase/database'
    const client = new Firebase(null, ${JSON.stringify({ database_host: firebase.host, namespace: firebase.namespace })})
      .client({ after() {} })
    await db.onDisconnect(db.ref(client, 'killed')).set(true)
    console.log('ready')`
  const other = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(other.stdout, 'data')
  assert.equal(await firebase.rest('GET', '/killed'), null)
  other.kill('SIGKILL')
  await becomes(() => firebase.rest('GET', '/killed'), true)
})
