// Package units defines units: names, unit files, hashes, [X-Fleet] options and
// states, and the contract of a service manager that runs them. It does no I/O
// and knows nothing of networks, stores or clocks.
package units
