// A local Firebase for the tests of one file, and clients of it as frontends have them.

import { deleteApp, initializeApp } from '@firebase/app'
import { connectDatabaseEmulator, getDatabase, goOffline } from '@firebase/database'
import { Firebase as Emulator } from './emulator.js'

export { becomes, OPEN, until } from './emulator.js'

let clients = 0

/** A local Firebase that has clients. */
export class Firebase extends Emulator {
  /**
   * A client's database, closed at the end of the test.
   *
   * @param t the test
   * @param mockUserToken who it is; nobody if left out
   */
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
