// Package managertest is the contract suite every units.Manager passes: the
// one that drives systemd and the one that runs child processes.
package managertest

import (
	"testing"

	"fleettop/units"
)

// Options says what the manager under test supports; the tests of what is not
// supported are left out.
type Options struct {
	Prefix string // begins the name of every unit of the suite; "managertest-" if empty

	Sockets      bool // socket units
	Timers       bool // timer units
	Paths        bool // path units
	Targets      bool // target units
	Dependencies bool // Requires= and After= between units

	// BadFile is a file this manager must refuse or fail to load;
	// a service without any ExecStart= if empty.
	BadFile string

	// Enabled reports whether a unit held is enabled, that is, wanted by the
	// target its [Install] section names. Nil if the manager can't show it.
	Enabled func(name, target string) bool
}

// Run runs the suite. Each call of open returns a Manager of the same machine:
// a later one must find what an earlier one held. The suite closes what
// it opens, never has two open at once, and unloads its units at the end.
func Run(t *testing.T, open func(t *testing.T) units.Manager, opts Options) {
	if opts.Prefix == "" {
		opts.Prefix = "managertest-"
	}
	if opts.BadFile == "" {
		opts.BadFile = "[Unit]\nDescription=nothing to run\n[Service]\nType=simple\n"
	}
	tests := []struct {
		name  string
		wants bool
		run   func(*harness)
	}{
		{"Batch", true, testBatch},
		{"BadFileAmongGoodOnes", true, testBadFile},
		{"RefusedNames", true, testRefusedNames},
		{"StartAndStop", true, testStartStop},
		{"Restart", true, testRestart},
		{"NotLoaded", true, testNotLoaded},
		{"FailingUnit", true, testFailing},
		{"MissingProgram", true, testMissingProgram},
		{"RefusedFile", true, testRefusedFile},
		{"StartTimeout", true, testStartTimeout},
		{"ForeignPIDFile", true, testForeignPIDFile},
		{"CancelledContext", true, testCancelled},
		{"ManyAtOnce", true, testMany},
		{"WatchOrder", true, testWatchOrder},
		{"WatchEnds", true, testWatchEnds},
		{"Unload", true, testUnload},
		{"UnloadFailed", true, testUnloadFailed},
		{"NewContentKeepsProcess", true, testNewContent},
		{"NewFileWhileRunning", true, testNewFileWhileRunning},
		{"NewFileAfterFailure", true, testNewFileAfterFailure},
		{"NewFileAfterStop", true, testNewFileAfterStop},
		{"NewFileWhileReferred", true, testNewFileWhileReferred},
		{"NewFileAfterUnload", true, testNewFileAfterUnload},
		{"NewFileWhileTimed", opts.Timers, testNewFileWhileTimed},
		{"NewFileWhileWatched", opts.Paths, testNewFileWhileWatched},
		{"NewFileBehindSocket", opts.Sockets, testNewFileBehindSocket},
		{"LongNames", true, testLongNames},
		{"ContinuedLines", true, testContinued},
		{"Adoption", true, testAdoption},
		{"RemainAfterExit", true, testRemainAfterExit},
		{"AutomaticRestarts", true, testAutomaticRestarts},
		{"StartLimit", true, testStartLimit},
		{"Install", opts.Enabled != nil, testInstall},
		{"Timer", opts.Timers, testTimer},
		{"Socket", opts.Sockets, testSocket},
		{"Path", opts.Paths, testPath},
		{"Target", opts.Targets, testTarget},
		{"Dependencies", opts.Dependencies, testDependencies},
	}
	for _, test := range tests {
		if test.wants {
			t.Run(test.name, func(t *testing.T) { test.run(newHarness(t, open, opts)) })
		}
	}
}
