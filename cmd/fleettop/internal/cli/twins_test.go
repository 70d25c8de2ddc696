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

// TestFleetTwins holds the table in CONTRIBUTING: each of fleet's functional
// tests has a twin, and each twin is a test that exists.
func TestFleetTwins(t *testing.T) {
	const root = "../../../.."
	text, err := os.ReadFile(root + "/CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "<!-- twins -->")
	table, _, _ = strings.Cut(table, "<!-- /twins -->")
	folders := map[string]string{"cli": "cmd/fleettop/internal/cli", "e2e": "cmd/fleetlab/e2e"}
	twin := regexp.MustCompile("^`([a-z0-9/]+)` (Test[A-Za-z]+)(?:/([A-Za-z]+))?$")
	var names []string
	for _, row := range strings.Split(strings.TrimSpace(table), "\n")[2:] {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		if len(cells) != 2 {
			t.Fatalf("not a row: %q", row)
		}
		names = append(names, cells[0])
		for _, one := range strings.Split(cells[1], ", ") {
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
	if want := strings.Fields(fleetTests); !slices.Equal(names, want) {
		t.Errorf("the table has the rows %v, want %v", names, want)
	}
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
