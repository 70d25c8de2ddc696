// Package witness judges what became of units in a lab under attack. The units
// write records of their own runs, on the clock that all machines of a lab
// share; Judge compares the records with the faults that were inflicted, and
// reports what no fault explains. It does no I/O and reads no clock.
package witness
