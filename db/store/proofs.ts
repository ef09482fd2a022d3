import type { Hash, Millis } from '../model.ts'

/** DPoP proofs that were used, so that no copy of one is good (RFC 9449 11.1). */
export interface ProofStore {
  /**
   * Notes that a proof was used, until `expiresAt`, when it is good no more. `false`: it was used before.
   * May be lost with the power.
   */
  useProof(proof: { proofHash: Hash; expiresAt: Millis }): Promise<boolean>
}
