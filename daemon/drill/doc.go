// Package drill takes this machine out for a bounded time as a loss of power
// would, and brings it back as after a boot.
//
// An operator's request is in the machine's record. The machine's daemon checks
// it once more, notes in the state directory until when the drill lasts, kills the
// units, and executes itself anew with every socket left open, which no one reads
// from then on: no part of it says goodbye. The new program, or any that is started after it, finds the
// note and stays silent until the drill's end, on the clock that no one sets.
// A real boot ends the drill.
package drill
