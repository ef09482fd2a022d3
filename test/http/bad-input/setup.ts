import type { Test } from 'tap'
import { addApp, addAppWithSecret, buildBroker, connect } from '../../helper.ts'
import { watchCommits } from '../../commits.ts'

/**
 * Builds what each file of this folder uses: a broker, three apps and a connection. Bad input must get a
 * clear error and write nothing: `hasChanged` tells whether the database has changed since its last call.
 */
export async function setUpBadInput(t: Test) {
  const broker = await buildBroker(t)
  const { services, url, clock } = broker
  const app = await addApp(broker)
  const otherApp = await addApp(broker, {
    name: 'Other',
    redirectUris: ['https://other.example.com/'],
  })
  const { app: confidentialApp, clientSecret } = await addAppWithSecret(broker, {
    confidential: true,
  })
  const connection = await connect(broker, app)
  const hasChanged = watchCommits(t, broker.dataDir)

  /** Runs a test and checks that it wrote nothing. */
  const testUnchanged = (title: string, run: (t: Test) => Promise<void>): void => {
    void t.test(title, async (t) => {
      hasChanged()
      await run(t)
      t.notOk(hasChanged(), 'nothing was written')
    })
  }
  return {
    ...{ broker, services, url, clock, app, otherApp, confidentialApp, clientSecret },
    ...{ connection, hasChanged, testUnchanged },
  }
}
