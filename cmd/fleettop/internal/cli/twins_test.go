package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fleetTests are the names of fleet's functional tests.
const fleetTests = `KnownHostsVerification FleetctlWithEnv ClientVersionFlag ClientVersionHelpOutput ClientHelpFlag
	DynamicClusterNewMemberUnitMigration DynamicClusterMemberReboot SingleNodeConnectivityLoss NodeShutdown DetectMachineId
	ReconfigureServer Shutdown ShutdownVsMonitor
	MachinesList MachinesListBadNextPageToken MachinesPatchAddModify MachinesPatchDelete MachinesPatchBad
	TemplatesWithSpecifiersInMetadata ScheduleMachineOf ScheduleConflicts ScheduleOneWayConflict ScheduleMultipleConflicts
	ScheduleReplace ScheduleCircularReplace ScheduleConditionMachineID ScheduleGlobalUnits ScheduleGlobalConflicts
	TunnelScheduleBatchUnits
	InstallUnit SystemdUnitFlow UnitRunnable UnitSubmit UnitLoad UnitStart UnitSubmitReplace UnitLoadReplace UnitStartReplace
	UnitRestart UnitSSHActions UnitCat UnitStatus ListUnitFilesOrder`

// failures are the rows of the table of what becomes of failures.
var failures = []string{"power lost, kernel panic, cable out", "the daemon crashed, the machine lives",
	"the daemon stopped or upgraded", "the machine shuts down or reboots", "drain", "cut off from the quorum",
	"etcd lost its quorum", "a machine comes back", "more than half of the machines vanish at once",
	"one-way loss, lost packets, latency, a flapping link", "a voter is lost for good", "etcd is slow",
	"a machine in trouble: full disks, clock jumps, load", "two machines with one machine-id"}

// TestFleetTwins holds the table in CONTRIBUTING: each of fleet's functional
// tests has a twin, and each twin is a test that exists.
func TestFleetTwins(t *testing.T) {
	if names, want := tableOfTests(t, "twins"), strings.Fields(fleetTests); !slices.Equal(names, want) {
		t.Errorf("the table has the rows %v, want %v", names, want)
	}
}

// TestFailuresHaveTwins holds the table of failures: each has an end-to-end test, which exists.
func TestFailuresHaveTwins(t *testing.T) {
	if names := tableOfTests(t, "failures"); !slices.Equal(names, failures) {
		t.Errorf("the table has the rows %q, want %q", names, failures)
	}
}

// tableOfTests checks that a table in CONTRIBUTING names tests that exist, and returns its rows' names.
func tableOfTests(t *testing.T, mark string) (names []string) {
	t.Helper()
	const root = "../../../.."
	text, err := os.ReadFile(root + "/CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "<!-- "+mark+" -->")
	table, _, ok := strings.Cut(table, "<!-- /"+mark+" -->")
	if !ok {
		t.Fatalf("CONTRIBUTING has no table between <!-- %s --> and <!-- /%[1]s -->", mark)
	}
	folders := map[string]string{"cli": "cmd/fleettop/internal/cli", "e2e": "cmd/fleetlab/e2e"}
	twin := regexp.MustCompile("^`([a-z0-9/]+)` (Test[A-Za-z]+)(?:/([A-Za-z]+))?$")
	for _, row := range strings.Split(strings.TrimSpace(table), "\n")[2:] {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		if len(cells) < 2 {
			t.Fatalf("not a row: %q", row)
		}
		names = append(names, cells[0])
		for _, one := range strings.Split(cells[len(cells)-1], ", ") {
			m := twin.FindStringSubmatch(one)
			if m == nil {
				t.Errorf("%s: %q names no test", cells[0], one)
				continue
			}
			folder := m[1]
			if full, ok := folders[folder]; ok {
				folder = full
			}
			if !hasTest(t, filepath.Join(root, folder), m[2], m[3]) {
				t.Errorf("%s: there is no test %s in %s", cells[0], strings.TrimPrefix(one, "`"+m[1]+"` "), folder)
			}
		}
	}
	return names
}

// hasTest reports whether a folder's test files declare a test and, if part
// isn't empty, name that subtest in it.
func hasTest(t *testing.T, folder, test, part string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", folder, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, body, ok := strings.Cut(string(text), "\nfunc "+test+"(t *testing.T) {\n")
		if !ok {
			continue
		}
		body, _, _ = strings.Cut(body, "\n}\n")
		return part == "" || strings.Contains(body, `"`+part+`"`)
	}
	return false
}
