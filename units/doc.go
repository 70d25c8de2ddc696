// Package units knows what a unit is: its name, its file, its hash, its
// [X-Fleet] options and its states, and the contract a service manager must
// meet to run it. It knows nothing of networks, stores or clocks.
package units
