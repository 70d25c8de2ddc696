// Package timespan reads spans of time as systemd.time(7) has them.
package timespan

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Infinity is the span "infinity".
const Infinity = time.Duration(math.MaxInt64)

// Lengths of units of time, as systemd has them.
const (
	day   = 24 * time.Hour
	month = 2629800 * time.Second // 30.44 days
	year  = 365*day + 6*time.Hour
)

var errSpan = errors.New(`not a time span: write it like "90", "5min 20s", "250ms" or "infinity"`)

// spanUnits are systemd's names of units of time. The micro sign and the Greek
// letter mu are two characters that look the same.
var spanUnits = map[string]time.Duration{
	"us": time.Microsecond, "usec": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond,
	"ms": time.Millisecond, "msec": time.Millisecond,
	"": time.Second, "s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": day, "day": day, "days": day,
	"w": 7 * day, "week": 7 * day, "weeks": 7 * day,
	"M": month, "month": month, "months": month,
	"y": year, "year": year, "years": year,
}

// Parse reads a span such as "2h 5min", "1.5d", "90" (seconds) or "infinity".
// It is never negative.
func Parse(text string) (time.Duration, error) {
	rest := strings.TrimSpace(text)
	if rest == "infinity" {
		return Infinity, nil
	}
	if rest == "" {
		return 0, errSpan
	}
	var sum time.Duration
	for rest != "" {
		n, after, err := decimal(rest)
		if err != nil {
			return 0, err
		}
		rest = strings.TrimLeft(after, " \t")
		end := strings.IndexFunc(rest, func(r rune) bool { return r == ' ' || r == '\t' || r >= '0' && r <= '9' })
		if end < 0 {
			end = len(rest)
		}
		unit, ok := spanUnits[rest[:end]]
		if !ok {
			return 0, fmt.Errorf("%q is not a unit of time: use us, ms, s, min, h, d, w, month or y", rest[:end])
		}
		rest = strings.TrimLeft(rest[end:], " \t")
		part := n * float64(unit)
		if part >= float64(Infinity-sum) {
			return 0, fmt.Errorf("the time span is too long: write infinity")
		}
		sum += time.Duration(math.Round(part))
	}
	return sum, nil
}

// decimal reads digits with an optional fraction from the front of s.
func decimal(s string) (n float64, rest string, err error) {
	i, digits, scale := 0, 0, 0.0
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
			if scale == 0 {
				n = n*10 + float64(c-'0')
			} else {
				n += float64(c-'0') * scale
				scale /= 10
			}
			continue
		case c == '.' && scale == 0:
			scale = 0.1
			continue
		}
		break
	}
	if digits == 0 {
		return 0, s, errSpan
	}
	return n, s[i:], nil
}
