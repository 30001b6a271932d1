"""A group robot of WeCom (群机器人): it writes into one group and hears nothing."""
