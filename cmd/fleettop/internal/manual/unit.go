package manual

import "fleettop/units"

// unitFile is the page of the section that fleettop reads of a unit file.
func (m *manual) unitFile() *page {
	p := m.page("fleettop-unit", 5, "the section [X-Fleet] of systemd unit files")
	p.head("SYNOPSIS")
	p.prose("`UNIT.service`, `UNIT.socket`, `UNIT.timer`, `UNIT.path`, `UNIT.target`, `UNIT.mount`, `UNIT.automount`, and " +
		"templates and instances of them, such as `web@.service` and `web@1.service`")
	p.head("DESCRIPTION")
	p.text("A unit of the cluster is a unit file of systemd's, see `systemd.unit`(5). The section [X-Fleet], which systemd " +
		"ignores, says on which machines it may run. An option that isn't known is refused when the file is submitted, " +
		"and so is a file that systemd would not load.\n\n" +
		"Of the machines that fit, fleettop takes the one with the fewest instances of the same template, then the one with " +
		"the fewest units. A unit that fits nowhere is unplaced; `fleettop explain UNIT` says why, and it is placed as soon " +
		"as a machine fits.")
	p.head("OPTIONS OF [X-Fleet]")
	for _, o := range units.FleetOptions() {
		about := o.Doc
		if o.Old != "" {
			about += " The name from before fleet 0.8, `" + o.Old + "=`, works too."
		}
		p.item(bold(o.Name+"=")+italic(o.Value), about)
	}
	p.head("SPECIFIERS")
	p.prose("In values of [X-Fleet] these are replaced; in all other sections systemd replaces its own.")
	for _, s := range units.Specifiers() {
		p.item(bold("%"+string(s.Letter)), s.Doc)
	}
	p.head("EXAMPLE")
	p.example("[Unit]", "Description=Web server %i", "", "[Service]", "ExecStart=/usr/bin/web --port 80%i", "",
		"[X-Fleet]", `MachineMetadata="ssd=true" "rack=4"`, "Conflicts=web@*.service")
	p.seeAlso(programPage, reference{"fleettop-submit", "1"}, reference{"fleettop-start", "1"},
		reference{"fleettop-explain", "1"}, reference{"fleettop-verify", "1"}, systemdUnitPage)
	return p
}
