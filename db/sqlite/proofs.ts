import { sql } from 'drizzle-orm'
import { dpopProofs } from './schema.ts'
import type { ProofStore } from '../store.ts'
import type { Engine } from './engine.ts'

export function proofMethods({ db, writeFleeting }: Engine): ProofStore {
  const add = db
    .insert(dpopProofs)
    .values({ proofHash: sql.placeholder('proofHash'), expiresAt: sql.placeholder('expiresAt') })
    .onConflictDoNothing()
    .prepare()

  return { useProof: (proof) => writeFleeting(() => add.run(proof).changes === 1) }
}
