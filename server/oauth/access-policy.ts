import type { AccessPolicy } from '../../db/store.ts'
import type { DrivePath } from '../drive/path.ts'

/** The policy of an app, for a grant that begins now; `null`: it allows everything. */
export const policyOf = ({ access, readOnly, allow }: AccessPolicy): AccessPolicy | null =>
  access === 'token' && !readOnly && allow.length === 0 ? null : { access, readOnly, allow }

/** May this request be sent, by what the app may do now and by what the user allowed? */
export const isAllowed = (
  { app, granted }: { app: AccessPolicy; granted: AccessPolicy | null },
  method: string,
  _path: DrivePath,
): boolean => ![app, granted].some((policy) => policy?.readOnly) || /^(GET|HEAD)$/.test(method)
