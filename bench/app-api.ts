import {
  connectUser,
  getAppToken,
  swapForApp,
  type OfflineApp,
} from '../test/oauth/offline/begin.ts'
import { buildRequest } from './load.ts'
import { addApp, type startBench } from './setup.ts'

/** The request of an offline app for a cached access token; as small as that of `/exchange`. */
export async function prepareAppApi(
  { url, env }: Pick<Awaited<ReturnType<typeof startBench>>, 'url' | 'env'>,
  binary?: string,
) {
  const { app, clientSecret } = await addApp(env, ['--confidential', '--offline'], binary)
  const offline: OfflineApp = {
    app,
    credentials: { client_id: app.id, client_secret: clientSecret },
  }
  const broker = { url } as Parameters<typeof connectUser>[0]
  const { grantId } = await connectUser(broker, offline)
  const token = await getAppToken(broker, offline)
  const { status } = await swapForApp(broker, token, grantId)
  if (status !== 200) throw new Error(`status ${status}`)
  const target = `${url}/v1/grants/${grantId}/token`
  return {
    url: target,
    bytes: buildRequest(target, 'POST', { authorization: `Bearer ${token}` }),
  }
}
