import { join } from 'node:path'
import Database from 'better-sqlite3'

/**
 * Makes this store record every access token as fetched a minute earlier. A token that was just fetched
 * satisfies every request, so only this allows many refreshes in a row.
 */
export function ageTokens(dataDir: string): void {
  const client = new Database(join(dataDir, 'broker.db'))
  client.exec(`
    create trigger aged after update of access_token_fetched_at on connections begin
      update connections set access_token_fetched_at = new.access_token_fetched_at - 60000
      where id = new.id;
    end`)
  client.close()
}
