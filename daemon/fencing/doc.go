// Package fencing keeps this machine's fence for as long as it has exclusive
// units: it renews the fence in the cluster's store, and extends the fence's own
// deadline by what the store has acknowledged, counted from when that was asked.
// What ends the units at the deadline is not here: see units/fence.
package fencing
