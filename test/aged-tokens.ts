import { join } from 'node:path'
import Database from 'better-sqlite3'

/**
 * From now on every access token that this store is given was fetched a minute ago: as a fresh one
 * satisfies whoever asks, only so can a connection be refreshed over and over.
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
