import type { Test } from 'tap'
import { addApp, addAppWithSecret, buildBroker, connect } from '../../helper.ts'
import { watchCommits } from '../../commits.ts'

/**
 * What each file of this folder needs: bad input gets a clear error and changes nothing, a test a line.
 * `changed` tells whether anything was written since it was last asked.
 */
export async function setUp(t: Test) {
  const broker = await buildBroker(t)
  const { services, url, clock } = broker
  const app = await addApp(broker)
  const other = await addApp(broker, {
    name: 'Other',
    redirectUris: ['https://other.example.com/'],
  })
  const { app: server, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const held = await connect(broker, app)
  const changed = watchCommits(t, broker.dataDir)

  /** A line: what is done, and that it left no trace. */
  const line = (words: string, work: (t: Test) => Promise<void>): void => {
    void t.test(words, async (t) => {
      changed()
      await work(t)
      t.notOk(changed(), 'nothing was written')
    })
  }
  return { broker, services, url, clock, app, other, server, clientSecret, held, changed, line }
}
