// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What brings a deposit's money to the hub of channels
interface ICollector {
    /// @notice Move `amount` of `token` from `payer` to the calling hub, as `payer` signed it for this channel alone.
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata data) external;
}
