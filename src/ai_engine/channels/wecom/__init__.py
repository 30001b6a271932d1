"""WeCom (企业微信): an app of the organisation's own, callbacks in and application messages out."""
