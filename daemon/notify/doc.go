// Package notify tells receivers outside of the cluster what an operator must
// know without looking: machines that failed, units that moved or have no place,
// failed units, holds, and changes of the voters. The leader does it, from the
// timeline, and notes in the store what each receiver was told, so that a change
// of leader neither loses a notice nor repeats what was delivered before.
package notify
