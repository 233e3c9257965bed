/** What an operator decides about users and groups; the defaults are {@link defaultOwnerSettings}. */
export interface OwnerSettings {
  /**
   * The sidecar's user in pods whose containers declare none in common; `assigned` leaves it to a
   * platform that gives every pod a user (OpenShift).
   */
  readonly uid: number | 'assigned'
  /** The group of files that the sidecar's user does not share with their readers. */
  readonly gid: number
  /** Whether a pod's own `fsGroup`, where it has one, is taken instead of {@link gid}. */
  readonly preferFsGroup: boolean
}

/** A user and a group that no image is likely to use. */
export const defaultOwnerSettings: OwnerSettings = { uid: 64999, gid: 64999, preferFsGroup: false }
