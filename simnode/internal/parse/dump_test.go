package parse_test

import (
	"fmt"
	"reflect"
	"strings"
)

// dump writes a tree as text, leaving out zero fields.
func dump(b *strings.Builder, v reflect.Value, indent string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			b.WriteString("nil\n")
			return
		}
		dump(b, v.Elem(), indent)
	case reflect.Struct:
		fmt.Fprintf(b, "%s\n", v.Type().Name())
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				continue
			}
			fmt.Fprintf(b, "%s  %s: ", indent, v.Type().Field(i).Name)
			dump(b, v.Field(i), indent+"  ")
		}
	case reflect.Slice:
		fmt.Fprintf(b, "%d of %s\n", v.Len(), v.Type().Elem())
		for i := range v.Len() {
			fmt.Fprintf(b, "%s  - ", indent)
			dump(b, v.Index(i), indent+"    ")
		}
	case reflect.String:
		fmt.Fprintf(b, "%q\n", v.String())
	default:
		fmt.Fprintf(b, "%v\n", v.Interface())
	}
}
