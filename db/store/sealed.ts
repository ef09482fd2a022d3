import type { Sealed } from '../model.ts'

/** Where a sealed value is: table, primary key of the row, column. What the vault binds it to. */
export type SealedPlace = `${string}/${string}/${string}`

export interface SealedValue {
  place: SealedPlace
  sealed: Sealed
}

/** Every sealed value there is, for checking and changing encryption keys. */
export interface SealedStore {
  /**
   * Some of the sealed values that come after a place (`null`: from the beginning), of one column at a
   * time, `limit` at most. None: that was all.
   */
  listSealed(page: { after: SealedPlace | null; limit: number }): Promise<SealedValue[]>
  /**
   * Puts values in the place of those that were read, in one transaction; what another writer has changed
   * since stays. They have the same length. Answers how many were changed.
   */
  reseal(values: { place: SealedPlace; expected: Sealed; sealed: Sealed }[]): Promise<number>
}
