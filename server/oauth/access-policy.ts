import type { AccessPolicy } from '../../db/store.ts'

/** The policy of an app, for a grant that begins now; `null`: it allows everything. */
export const policyOf = ({ access, readOnly, allow }: AccessPolicy): AccessPolicy | null =>
  access === 'token' && !readOnly && allow.length === 0 ? null : { access, readOnly, allow }
