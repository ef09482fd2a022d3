import type { Connection, Submittable } from 'pg'
import { failConnection } from '../postgres/failures.ts'

/** The parts of pg's connection that send rows; its types lack them. */
interface CopyConnection extends Connection {
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
}

interface Client {
  query(query: Submittable): unknown
}

/**
 * PostgreSQL's `copy … from stdin`, a statement of its own.
 * @param lines rows in its text format
 */
export const copyIn = async (client: Client, statement: string, lines: string): Promise<void> =>
  void (await run(client, statement, {
    handleCopyInResponse(connection: CopyConnection) {
      connection.sendCopyFromChunk(Buffer.from(lines))
      connection.endCopyFrom()
    },
  }))

/**
 * PostgreSQL's `copy … to stdout`.
 * @param take called with each row in its text format
 * @returns the number of rows
 */
export const copyOut = (
  client: Client,
  statement: string,
  take: (line: Buffer) => void,
): Promise<number> =>
  run(client, statement, { handleCopyData: ({ chunk }: { chunk: Buffer }) => take(chunk) })

/** pg calls these methods for the messages of the server (PostgreSQL, 55.2.6). */
function run(client: Client, statement: string, handlers: object): Promise<number> {
  let rows = 0
  return new Promise<number>((resolve, reject) => {
    const query = {
      submit: (connection: Connection) => connection.query(statement),
      handleCommandComplete: ({ text }: { text: string }) =>
        (rows = Number(text.split(' ').at(-1))),
      handleError: reject,
      handleReadyForQuery: () => resolve(rows),
      ...handlers,
    }
    client.query(query)
  }).catch(failConnection)
}
