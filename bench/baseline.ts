/**
 * The server that the broker is compared with, in a process of its own:
 * `node bench/baseline.ts bare|with-plugins PORT`. Both respond with the JSON in `ANSWER`, the response of a
 * swap. `bare` is only a Fastify route; `with-plugins` adds the broker's headers, CORS and metrics.
 */
import cors from '@fastify/cors'
import fastify from 'fastify'
import { Counter, Registry } from 'prom-client'

const [kind, port] = process.argv.slice(2)

const app = fastify()
const answer: unknown = JSON.parse(process.env.ANSWER ?? '{}')
if (kind === 'with-plugins') {
  const swaps = new Counter({
    name: 'swaps_total',
    help: 'Swaps',
    labelNames: ['outcome'],
    registers: [new Registry()],
  })
  await app.register(cors, { origin: ['https://app.example.com'], methods: ['POST'] })
  app.post('/exchange', async (_request, reply) => {
    swaps.inc({ outcome: 'ok' })
    void reply.header('cache-control', 'no-store')
    return answer
  })
} else {
  app.post('/exchange', async () => answer)
}
await app.listen({ host: '127.0.0.1', port: Number(port) })
process.send?.('ready')
