import type { App } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'

/** Also the limit of the schemas of /openapi.json. */
export const MAX_EXTERNAL_ID_LENGTH_CHARS = 255

/** Control characters, and halves of characters. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u

/**
 * Checks an app's own id of a user. Only an app that authenticates may send one: a user could change it on the
 * way through the browser.
 * @throws BrokerError `invalid_request`
 */
export function checkExternalId(externalId: string, { confidential }: Pick<App, 'confidential'>) {
  if (!confidential) {
    throw invalid('external_id_of_public_app', 'Only confidential apps may send external_id.')
  }
  const { length } = Array.from(externalId)
  if (length === 0 || length > MAX_EXTERNAL_ID_LENGTH_CHARS || UNPRINTABLE.test(externalId)) {
    const description = `external_id has 1 to ${MAX_EXTERNAL_ID_LENGTH_CHARS} characters, without control characters.`
    throw invalid('external_id_malformed', description)
  }
  return externalId
}

const invalid = (reason: string, description: string): BrokerError =>
  new BrokerError('invalid_request', { reason, description, isGuess: false })
