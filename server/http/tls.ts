import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { Server } from 'node:tls'
import type { Config } from '../config/config.ts'
import type { Logger } from '../log.ts'
import { StartError } from '../data/start-error.ts'

/** A certificate with its chain, and its private key, as PEM. */
export interface Certificate {
  cert: Buffer
  key: Buffer
}

/** How often the files are looked at, milliseconds. */
const LOOK_EVERY = 60_000

/**
 * Reads the certificate and its key.
 * @throws StartError if they can't be read, or don't belong together
 */
export function readCertificate({ certFile, keyFile }: NonNullable<Config['tls']>): Certificate {
  try {
    const certificate = { cert: readFileSync(certFile), key: readFileSync(keyFile) }
    createSecureContext(certificate)
    return certificate
  } catch (cause) {
    throw new StartError(
      `BROKER_TLS_CERT (${certFile}) and BROKER_TLS_KEY (${keyFile}) can't be used.\n` +
        'They must be readable PEM files: the certificate with its chain, and its private key.',
      { cause },
    )
  }
}

/**
 * Takes over a renewed certificate without a restart: looks at the files every minute, and at once on
 * SIGHUP. One that can't be used is logged, and the old one goes on. Answers what ends the watch.
 */
export function watchCertificate(
  server: Pick<Server, 'setSecureContext'>,
  files: NonNullable<Config['tls']>,
  log: Pick<Logger, 'info' | 'error'>,
): () => void {
  let current = readCertificate(files)
  let complaint = ''
  const look = (): void => {
    try {
      const next = readCertificate(files)
      complaint = ''
      if (next.cert.equals(current.cert) && next.key.equals(current.key)) return
      server.setSecureContext(next)
      current = next
      log.info({ certificate: files.certFile }, 'took over the renewed certificate')
    } catch (error) {
      const { message } = error as Error
      if (message === complaint) return
      complaint = message
      log.error({ err: error }, 'a renewed certificate can’t be used; the old one goes on')
    }
  }
  const timer = setInterval(look, LOOK_EVERY).unref()
  process.on('SIGHUP', look)
  return () => {
    clearInterval(timer)
    process.off('SIGHUP', look)
  }
}
