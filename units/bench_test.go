package units

import "testing"

const typical = `[Unit]
Description=The web frontend, instance %i
After=network-online.target docker.service
Requires=docker.service

# The image is pulled first, so that a start doesn't time out.
[Service]
TimeoutStartSec=0
Restart=on-failure
RestartSec=5
ExecStartPre=-/usr/bin/docker rm -f web-%i
ExecStartPre=/usr/bin/docker pull registry/web:1.2
ExecStart=/usr/bin/docker run --name web-%i \
  --publish 80:8080 \
  registry/web:1.2
ExecStop=/usr/bin/docker stop web-%i

[X-Fleet]
MachineMetadata="region=eu" "disk=ssd"
MachineMetadata=region=us
Conflicts=%p@*.service
`

// BenchmarkFile takes a file as it comes to what the scheduler needs of it.
func BenchmarkFile(b *testing.B) {
	n := mustName(b, "web@1.service")
	b.ReportAllocs()
	for b.Loop() {
		f, err := ParseFile(typical)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.Requirements(n); err != nil || f.Hash() == "" {
			b.Fatal(err)
		}
	}
}

// BenchmarkValidate is all that is checked of a parsed file at submit.
func BenchmarkValidate(b *testing.B) {
	n := mustName(b, "web@1.service")
	f := mustParse(b, typical)
	b.ReportAllocs()
	for b.Loop() {
		if err := Validate(n, f); err != nil {
			b.Fatal(err)
		}
	}
}
