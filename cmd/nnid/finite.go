package main

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
)

// marshal writes JSON with null for numbers that JSON does not have. A run that went wrong may well have an infinite
// error to report, and its files are written all the same.
func marshal(value any) ([]byte, error) {
	data, err := json.Marshal(value)
	if _, ok := errors.AsType[*json.UnsupportedValueError](err); ok {
		return json.Marshal(withNulls(reflect.ValueOf(value)))
	}
	return data, err
}

// withNulls rebuilds a value from maps and slices, with nil for NaN and infinities.
func withNulls(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	if _, ok := v.Interface().(json.Marshaler); ok && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		return v.Interface()
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil
		}
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return withNulls(v.Elem())
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && (v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8) {
			return v.Interface()
		}
		list := make([]any, v.Len())
		for i := range list {
			list[i] = withNulls(v.Index(i))
		}
		return list
	case reflect.Map:
		fields := map[string]any{}
		for _, key := range v.MapKeys() {
			if key.Kind() != reflect.String {
				return v.Interface()
			}
			fields[key.String()] = withNulls(v.MapIndex(key))
		}
		return fields
	case reflect.Struct:
		fields := map[string]any{}
		for i := range v.NumField() {
			field := v.Type().Field(i)
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous && name == "" {
				if inner, ok := withNulls(v.Field(i)).(map[string]any); ok {
					for k, w := range inner {
						fields[k] = w
					}
				}
				continue
			}
			if !field.IsExported() || name == "-" || (strings.Contains(options, "omitempty") && v.Field(i).IsZero()) {
				continue
			}
			if name == "" {
				name = field.Name
			}
			fields[name] = withNulls(v.Field(i))
		}
		return fields
	}
	return v.Interface()
}
